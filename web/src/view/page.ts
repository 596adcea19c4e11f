/** The page's model, for every component below App. */

import { createContext } from "svelte";
import type { Page } from "../model/page.svelte";

export const [usePage, providePage] = createContext<Page>();
