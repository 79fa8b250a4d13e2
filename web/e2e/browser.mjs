// Starts the system's Chromium for the scripts beside this file.
import { chromium } from "playwright-core";

/** A headless browser; CHROMIUM names another executable. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--autoplay-policy=no-user-gesture-required",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
    ],
  });
}

/** Notes what a page should not do: errors on its console, requests to other origins. */
export function audit(page, url) {
  const { origin } = new URL(url);
  const noted = { console_errors: [], external_requests: [] };
  page.on("console", (message) => message.type() === "error" && noted.console_errors.push(message.text()));
  page.on("pageerror", (error) => noted.console_errors.push(String(error)));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol.startsWith("http") && to.origin !== origin) noted.external_requests.push(request.url());
  });
  return noted;
}
