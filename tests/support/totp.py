"""What an authenticator app shows: the codes of an otpauth URI, now and in the next step.

    otp-python totp.py URI
"""

import sys
import time

import pyotp

app = pyotp.parse_uri(sys.argv[1])
now = int(time.time())
print(app.issuer, app.name, app.at(now), app.at(now + 30))
