/** Drawn on a 24 grid with a line of 1.8; circles are arcs, so that one icon is one path. */

const circle = (x: number, y: number, r: number) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;

export const ICONS = {
  logo: "M4 17V8l4 4 4-4 4 4 4-4v9",
  direct: `${circle(5, 12, 2.6)}${circle(19, 12, 2.6)}M8 12h8`,
  relayed: `${circle(4.5, 17, 2.4)}${circle(19.5, 17, 2.4)}M6.3 15.2 9.8 8.6M14.2 8.6l3.5 6.6M10.8 3h2.4a1.2 1.2 0 0 1 1.2 1.2v2.4a1.2 1.2 0 0 1-1.2 1.2h-2.4a1.2 1.2 0 0 1-1.2-1.2V4.2A1.2 1.2 0 0 1 10.8 3z`,
  stored: "M4 8.5 6 4h12l2 4.5V19a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1zM4 9h16M9 13h6",
  away: "M3 12h3M10.5 12h3M18 12h3",
  tick: "m5 13 4 4L19 7",
  ticks: "m2 13 4 4 9-10M11.5 16l1 1L22 7",
  clock: `${circle(12, 12, 8.5)}M12 7.5V12l3 2`,
  alert: `${circle(12, 12, 9)}M12 7.5v5.5M12 16.3v.2`,
  chats: "M20 12a8 8 0 0 1-11.6 7.1L4 20l1-4.2A8 8 0 1 1 20 12z",
  requests: "M4 13h4l1.5 3h5L16 13h4M6 5h12l2 8v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1v-5z",
  settings: `${circle(9, 7, 2.2)}${circle(15, 17, 2.2)}M4 7h2.8M11.2 7H20M4 17h8.8M17.2 17H20`,
  shield: "M12 3 5 6v5c0 5 3 8 7 10 4-2 7-5 7-10V6zM9 12l2 2 4-4",
  search: `${circle(11, 11, 6)}M15.5 15.5 20 20`,
  plus: "M12 5v14M5 12h14",
  cross: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  back: "m15 5-7 7 7 7",
  down: "m6 10 6 6 6-6",
  info: `${circle(12, 12, 9)}M12 11v5.5M12 7.6v.2`,
  send: "M5 12 4 5l16 7-16 7zM5 12h7",
  link: "M10 14a4 4 0 0 0 6 .4l2.6-2.6a4 4 0 0 0-5.6-5.6L11.6 7.500M14 10a4 4 0 0 0-6-.4L5.400 12.200a4 4 0 0 0 5.600 5.600l1.400-1.300",
  qr: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2.500v2.500H14zM17.500 17.500H20V20h-2.500zM20 14h-.2M14.2 20H14",
  copy: "M9 9h10a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1zM5.500 15H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1v.500",
  again: "M20 12a8 8 0 1 1-2.300-5.700M20 4v4h-4",
  block: `${circle(12, 12, 8.5)}M6.200 6.200l11.600 11.600`,
  person: `${circle(12, 8, 3.6)}M5 20a7 7 0 0 1 14 0`,
  keys: "M4 7h16a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zM7 10.500h.1M10.300 10.500h.1M13.600 10.500h.1M17 10.500h.1M8 14h8",
  sun: `${circle(12, 12, 3.8)}M12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600 7 7M17 17l1.400 1.400M18.400 5.600 17 7M7 17l-1.400 1.400`,
  offline: "M4 4l16 16M8.500 15.500a5 5 0 0 1 7 0M5.500 12.500a9.300 9.300 0 0 1 4-2.300M18.500 12.500a9.500 9.500 0 0 0-4.300-2.400M12 19v.2",
  play: "M8 5.500v13l10.500-6.500z",
} as const;

export type IconName = keyof typeof ICONS;
