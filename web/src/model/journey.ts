/** "How this message travelled": the route record in words. */

import type { Message, Route, RouteKind } from "./api";
import { t, milliseconds, type WordKey } from "./words.svelte";

/** The word that always stands beside a route's colour and glyph. */
export function routeWord(kind: RouteKind): string {
  return t(`route.${kind}`);
}

export type Fact = { label: string; value: string };

/** Three plain facts first; the exact terms follow for who wants them. */
export function facts(route: Route): { plain: Fact[]; exact: Fact[] } {
  const plain: Fact[] = [{ label: t("journey.route"), value: wayWords(route) }];
  if (route.found_by) plain.push({ label: t("journey.found"), value: t(`found.${route.found_by}`) });
  plain.push({ label: t("journey.cipher"), value: t("journey.cipher.value") });
  const exact: Fact[] = [{ label: t("journey.transport"), value: t(`transport.${route.transport}`) }];
  if (route.address_class) exact.push({ label: t("journey.address"), value: t(`address.${route.address_class}`) });
  if (route.found_by) exact.push({ label: t("journey.met"), value: t(`met.${route.found_by}`) });
  if (route.via) exact.push({ label: t(route.kind === "stored" ? "journey.home" : "journey.relay"), value: route.via });
  if (route.rtt_ms !== null) exact.push({ label: t("journey.rtt"), value: milliseconds(route.rtt_ms) });
  return { plain, exact };
}

function wayWords(route: Route): string {
  if (route.kind !== "direct") return t(`way.${route.kind}`);
  const key: WordKey =
    route.address_class === "lan" ? "way.direct.lan"
    : route.address_class === "loopback" ? "way.direct.loopback"
    : "way.direct";
  return t(key);
}

/** One sentence about who could see it. */
export function whoSaw(route: Route): string {
  return t(`saw.${route.kind}`);
}

/** What a screen reader says of a bubble's time, route and ticks. */
export function statusWords(message: Message, isMine: boolean): string {
  return isMine ? t(`status.${message.status}`) : "";
}
