import "./tokens.css";
import { mount } from "svelte";
import DemoApp from "./view/demo/DemoApp.svelte";

mount(DemoApp, { target: document.getElementById("app")! });
