/** The page's model, for every component below App. */

import { createContext } from "svelte";
import type { Page } from "../model/page.svelte";

export const [usePage, providePage] = createContext<Page>();

/** The same where there may be none: the demo's page around the nodes' has dialogs too. */
export function usePageIfAny(): Page | null {
  try {
    return usePage();
  } catch {
    return null;
  }
}
