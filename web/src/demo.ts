import "./tokens.css";
import "./base.css";
import { mount } from "svelte";
import { Demo } from "./model/demo.svelte";
import { Settings } from "./model/settings.svelte";
import { demoApi, watchDemo } from "./platform/demo";
import { shelf } from "./platform/shelf";
import { later } from "./platform/time";
import DemoApp from "./view/demo/DemoApp.svelte";

const demo = new Demo(demoApi, later);
watchDemo(demo);
mount(DemoApp, { target: document.getElementById("app")!, props: { demo, settings: new Settings(shelf, navigator.languages) } });
