// The same with Sentry's Node SDK. DSN in argv.
const Sentry = require("@sentry/node");

Sentry.init({ dsn: process.argv[2], release: "shop@1.2.4", environment: "live", tracesSampleRate: 1.0 });

function pay(card) {
  throw new TypeError(`cannot pay with ${card}`);
}

(async () => {
  Sentry.addBreadcrumb({ category: "cart", message: "two things in the cart" });
  try {
    pay("4242424242424242");
  } catch (error) {
    console.log(Sentry.captureException(error));
  }
  console.log(Sentry.captureMessage("the shop is closed", "warning"));
  const plan = { schedule: { type: "interval", value: 10, unit: "minute" }, checkinMargin: 5 };
  Sentry.captureCheckIn({ monitorSlug: "often-js", status: "ok" }, plan);
  await Sentry.flush(10000);
})();
