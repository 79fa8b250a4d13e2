"""A device with a passkey, of what another library has for it: goes through all that it may and may not do.

    fido-python passkey.py GATEWAY ORIGIN PASSWORD

GATEWAY is asked, ORIGIN is where the pages were opened. Prints a line of JSON: the status of every answer.
"""

import hashlib
import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
    RegistrationResponse,
    UserVerificationRequirement,
)

GATEWAY, ORIGIN, PASSWORD = sys.argv[1:]
AUTH = f"{GATEWAY}/api/auth-service/v1"
FLAG = AuthenticatorData.FLAG
seen = {}


def ask(method, path, body=None, bearer=None):
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {bearer}"} if bearer else {})}
    request = urllib.request.Request(AUTH + path, json.dumps(body or {}).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


class Device:
    def __init__(self):
        self.key, self.id, self.count = ec.generate_private_key(ec.SECP256R1()), os.urandom(32), 0

    def data(self, site, flags, attested=b""):
        return AuthenticatorData.create(hashlib.sha256(site.encode()).digest(), flags, self.count, attested)

    def make(self, options, origin=ORIGIN):
        options = PublicKeyCredentialCreationOptions.from_dict(options)
        selection = options.authenticator_selection
        assert selection.require_resident_key and selection.user_verification == UserVerificationRequirement.REQUIRED
        self.user = options.user.id
        public = ES256.from_cryptography_key(self.key.public_key())
        attested = AttestedCredentialData.create(bytes(16), self.id, public)
        data = self.data(options.rp.id, FLAG.UP | FLAG.UV | FLAG.AT, attested)
        client = CollectedClientData.create("webauthn.create", options.challenge, origin)
        response = AuthenticatorAttestationResponse(
            client_data=client, attestation_object=AttestationObject.create("none", data, {})
        )
        return dict(RegistrationResponse(raw_id=self.id, response=response))

    def show(self, options, origin=ORIGIN, site=None, flags=FLAG.UP | FLAG.UV):
        options = PublicKeyCredentialRequestOptions.from_dict(options)
        assert not options.allow_credentials, "it tells nothing of who is known"
        self.count += 1
        data = self.data(site or options.rp_id, flags)
        client = CollectedClientData.create("webauthn.get", options.challenge, origin)
        response = AuthenticatorAssertionResponse(
            client_data=client,
            authenticator_data=data,
            signature=self.key.sign(data + client.hash, ec.ECDSA(hashes.SHA256())),
            user_handle=self.user,
        )
        return dict(AuthenticationResponse(raw_id=self.id, response=response))


def question():
    _, begun = ask("POST", "/webauthn/login/begin")
    return begun["ceremony"], begun["options"]


def finish(ceremony, credential):
    return ask("POST", "/webauthn/login/finish", {"ceremony": ceremony, "credential": credential})


def log_in(device, **lies):
    ceremony, options = question()
    return finish(ceremony, device.show(options, **lies))


_, ada = ask("POST", "/signup", {"handle": "ada", "password": PASSWORD})
bearer = ada["access_token"]


def begin():
    return ask("POST", "/webauthn/register/begin", {"password": PASSWORD}, bearer)[1]["options"]


def add(name, credential):
    return ask("POST", "/webauthn/register/finish", {"name": name, "credential": credential}, bearer)


device = Device()
seen["registered_elsewhere"] = add("evil", device.make(begin(), origin="https://evil.example"))[0]
seen["registered"], passkey = add("phone", device.make(begin()))

ceremony, options = question()
shown = device.show(options)
seen["signed_in"], answer = finish(ceremony, shown)
seen["same_person"] = answer["user"] == ada["user"]
seen["same_answer_again"] = finish(ceremony, shown)[0]
seen["same_answer_to_another_question"] = finish(question()[0], shown)[0]
seen["wrong_origin"] = log_in(device, origin="https://evil.example")[0]
seen["wrong_site"] = log_in(device, site="evil.example")[0]
seen["locked"] = log_in(device, flags=FLAG.UP)[0]
seen["stranger"] = log_in(type("Stranger", (Device,), {"user": device.user})())[0]

times = []
for _ in range(20):
    ceremony, options = question()
    shown, began = device.show(options), time.perf_counter()
    status, _ = finish(ceremony, shown)
    times.append((time.perf_counter() - began) * 1000)
    assert status == 200
seen["sign_in_median_ms"] = round(statistics.median(times), 1)

device.count -= 2
seen["counter_went_back"], told = log_in(device)
seen["counter_told"] = told["detail"]
device.count += 2
seen["counter_goes_on"] = log_in(device)[0]

path = f"/webauthn/passkeys/{passkey['id']}"
seen["removed"] = ask("DELETE", path, {"password": PASSWORD}, bearer)[0]
seen["after_that"] = log_in(device)[0]
print(json.dumps(seen))
