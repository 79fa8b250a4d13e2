# What an application reports with Sentry's Python SDK: an exception with its steps, a message, a check-in. DSN in argv.
import sys

import sentry_sdk
from sentry_sdk.crons import capture_checkin

sentry_sdk.init(dsn=sys.argv[1], release="shop@1.2.3", environment="live", server_name="here", traces_sample_rate=1.0)


def pay(card):
    password = "hunter2"
    raise ValueError(f"cannot pay with {card}")


with sentry_sdk.start_transaction(name="checkout"):
    sentry_sdk.add_breadcrumb(category="cart", message="two things in the cart")
    sentry_sdk.set_tag("shop", "berlin")
    try:
        try:
            pay("4242 4242 4242 4242")
        except ValueError as error:
            raise RuntimeError("checkout failed") from error
    except RuntimeError as error:
        print(sentry_sdk.capture_exception(error))
print(sentry_sdk.capture_message("the shop is closed", level="warning"))
plan = {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5}
capture_checkin(monitor_slug="nightly-py", status="ok", duration=2.5, monitor_config=plan)
sentry_sdk.flush(10)
