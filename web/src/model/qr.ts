/**
 * A QR code as the API draws it, taken apart without trusting it: of the SVG only the view box and path data are
 * read, and the page draws its own picture from them. No markup is inserted, and no data: URL is needed.
 */

export type QrPicture = { viewBox: string; paths: { d: string; isLine: boolean; transform: string | undefined }[] };

const MAX_CHARACTERS = 200_000;

export function readQr(svg: string): QrPicture | null {
  if (svg.length > MAX_CHARACTERS) return null;
  const box = /\bviewBox="([\d.\s-]{7,60})"/u.exec(svg)?.[1];
  const paths = [...svg.matchAll(/<path\b([^>]*)>/gu)].flatMap(([, attributes]) => {
    const d = /\sd="([MmHhVvLlZz\d.,\s-]+)"/u.exec(attributes ?? "")?.[1];
    // A light background is not needed (the page lays its own); what is dark is drawn.
    const isLight = /\b(?:fill|stroke)="#?(?:fff|ffffff|white)"/iu.test(attributes ?? "");
    const transform = /\btransform="(scale\([\d.]{1,8}\))"/u.exec(attributes ?? "")?.[1];
    return d && !isLight ? [{ d, isLine: /\bstroke="/u.test(attributes ?? ""), transform }] : [];
  });
  return box && paths.length > 0 ? { viewBox: box.trim(), paths } : null;
}
