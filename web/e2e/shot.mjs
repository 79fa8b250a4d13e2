// Takes a screenshot of a whole page.
//
//   node e2e/shot.mjs URL OUT.png [--width 1280] [--height 800] [--dark] [--open] [--wait 3] [--expect TEXT]
//
// --open unfolds every details element; --wait is the time in seconds the page gets to fill;
// --expect reports whether the page shows TEXT.
import { parseArgs } from "node:util";
import { audit, launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    width: { type: "string", default: "1280" },
    height: { type: "string", default: "800" },
    dark: { type: "boolean", default: false },
    open: { type: "boolean", default: false },
    wait: { type: "string", default: "3" },
    expect: { type: "string" },
  },
});
const [url, out] = positionals;
if (!url || !out) {
  console.error("usage: node e2e/shot.mjs URL OUT.png [--width 1280] [--height 800] [--dark] [--open] [--wait 3] [--expect TEXT]");
  process.exit(2);
}

const browser = await launch();
try {
  const page = await browser.newPage({
    viewport: { width: Number(values.width), height: Number(values.height) },
    colorScheme: values.dark ? "dark" : "light",
  });
  const noted = audit(page, url);
  // Not "load": a page with an event stream or a live picture never stops loading.
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await new Promise((done) => setTimeout(done, Number(values.wait) * 1000));
  if (values.open) await page.evaluate(() => document.querySelectorAll("details").forEach((item) => (item.open = true)));
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  await page.screenshot({ path: out, fullPage: true });
  const expected = values.expect ? (await page.innerText("body")).includes(values.expect) : null;
  console.log(JSON.stringify({ out, sideways_scroll: overflow, expected, ...noted }));
} finally {
  await browser.close();
}
