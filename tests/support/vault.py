"""A client of Vault that knows nothing of us drives key-service; another library opens and verifies what comes out.

    hvac-python vault.py URL TOKEN

Prints how many answers were as they should be.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading

import hvac
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

url, token = sys.argv[1], sys.argv[2]
client = hvac.Client(url=url, token=token)
transit = client.secrets.transit
checked = {"answers": 0, "refused": 0, "under_load": 0}


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def same(got, want):
    assert got == want, (got, want)
    checked["answers"] += 1


def refused(error, call, *args, **named):
    try:
        call(*args, **named)
    except error as said:
        # Its text is there, whichever way the client shows it.
        assert "detail" in (said.text or "") and json.loads(said.text)["errors"][0], said.text
        checked["refused"] += 1
    else:
        raise AssertionError(f"{call.__name__} {args} {named} was not refused")


def make(name, kind, **named):
    """A key of a type that the client itself may not know: then by its plain write."""
    if kind in ("aes128-gcm96", "hmac"):
        client.write_data(f"transit/keys/{name}", data={"type": kind, **named})
    else:
        transit.create_key(name, key_type=kind, **named)


def sealed(name, plain, **named):
    return transit.encrypt_data(name, plaintext=b64(plain), **named)["data"]["ciphertext"]


def opened(name, ciphertext, **named):
    return base64.b64decode(transit.decrypt_data(name, ciphertext=ciphertext, **named)["data"]["plaintext"])


def body(text):
    return base64.b64decode(text.split(":", 2)[2])


def lifecycle():
    transit.create_key("box")
    about = transit.read_key("box")
    same(set(about), {"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"})
    same((about["data"]["type"], about["data"]["latest_version"]), ("aes256-gcm96", 1))
    same(transit.list_keys()["data"]["keys"], ["box"])
    same(hvac.Client(url=url, token=token, strict_http=True).secrets.transit.list_keys()["data"]["keys"], ["box"])
    old = sealed("box", "one")
    same(old.startswith("vault:v1:"), True)
    transit.rotate_key("box")
    same(transit.read_key("box")["data"]["latest_version"], 2)
    same(opened("box", old), b"one")
    new = transit.rewrap_data("box", ciphertext=old)["data"]["ciphertext"]
    same((new.startswith("vault:v2:"), opened("box", new)), (True, b"one"))
    transit.update_key_configuration("box", min_decryption_version=2)
    refused(hvac.exceptions.InvalidRequest, transit.decrypt_data, "box", ciphertext=old)
    same(opened("box", new), b"one")
    items = [{"plaintext": b64(str(i)), "reference": str(i)} for i in range(50)]
    batch = transit.encrypt_data("box", batch_input=items)["data"]["batch_results"]
    back = transit.decrypt_data("box", batch_input=[{"ciphertext": i["ciphertext"]} for i in batch])
    same([i["plaintext"] for i in back["data"]["batch_results"]], [b64(str(i)) for i in range(50)])
    same([i["reference"] for i in batch], [str(i) for i in range(50)])
    rewrapped = transit.rewrap_data("box", ciphertext=None, batch_input=[{"ciphertext": new}])
    same(opened("box", rewrapped["data"]["batch_results"][0]["ciphertext"]), b"one")
    transit.trim_key("box", 2)
    refused(hvac.exceptions.InvalidRequest, transit.update_key_configuration, "box", min_decryption_version=1)
    refused(hvac.exceptions.Forbidden, transit.export_key, "box", "encryption-key")
    refused(hvac.exceptions.UnexpectedError, transit.delete_key, "box")
    transit.update_key_configuration("box", deletion_allowed=True)
    same(transit.delete_key("box").status_code, 204)
    refused(hvac.exceptions.InvalidPath, transit.read_key, "box")
    refused(hvac.exceptions.InvalidPath, transit.decrypt_data, "box", ciphertext=new)


def ciphers():
    for kind, cipher in [("aes128-gcm96", AESGCM), ("aes256-gcm96", AESGCM), ("chacha20-poly1305", ChaCha20Poly1305)]:
        make(kind, kind, exportable=True)
        key = base64.b64decode(transit.export_key(kind, "encryption-key")["data"]["keys"]["1"])
        text = sealed(kind, "ours", associated_data=b64("row 7"))
        raw = body(text)
        same(cipher(key).decrypt(raw[:12], raw[12:], b"row 7"), b"ours")
        nonce = bytes(range(12))
        theirs = "vault:v1:" + b64(nonce + cipher(key).encrypt(nonce, b"theirs", b"row 8"))
        same(opened(kind, theirs, associated_data=b64("row 8")), b"theirs")
        refused(hvac.exceptions.InvalidRequest, transit.decrypt_data, kind, ciphertext=text, associated_data=b64("row 8"))
        refused(hvac.exceptions.InvalidRequest, transit.decrypt_data, kind, ciphertext=text)
        name = f"derived-{kind}"
        make(name, kind, derived=True)
        text = sealed(name, "x", context=b64("a"))
        same(opened(name, text, context=b64("a")), b"x")
        refused(hvac.exceptions.InvalidRequest, transit.decrypt_data, name, ciphertext=text, context=b64("b"))
        refused(hvac.exceptions.InvalidRequest, transit.decrypt_data, name, ciphertext=text)
        for how, bits in [("plaintext", 128), ("plaintext", 256), ("wrapped", 512)]:
            made = transit.generate_data_key(kind, key_type=how, bits=bits)["data"]
            plain = opened(kind, made["ciphertext"])
            same((len(plain) * 8, made.get("plaintext", b64(plain))), (bits, b64(plain)))
    transit.create_key("rsa-3072", key_type="rsa-3072")
    same(opened("rsa-3072", sealed("rsa-3072", "short")), b"short")


def signatures():
    curves = {"ecdsa-p256": (hashes.SHA256(), 32), "ecdsa-p384": (hashes.SHA384(), 48), "ecdsa-p521": (hashes.SHA512(), 66)}
    text = b"what was signed"
    for kind in ["ed25519", *curves, "rsa-2048", "rsa-4096"]:
        transit.create_key(kind, key_type=kind)
        public = transit.read_key(kind)["data"]["keys"]["1"]["public_key"]
        for name in ["sha2-256", "sha2-384", "sha2-512"]:
            digest = {"sha2-256": hashes.SHA256(), "sha2-384": hashes.SHA384(), "sha2-512": hashes.SHA512()}[name]
            hows = [{}]
            if kind in curves:
                hows = [{}, {"marshaling_algorithm": "jws"}]
            if kind.startswith("rsa"):
                hows = [{"signature_algorithm": "pss"}, {"signature_algorithm": "pkcs1v15"}]
            for how in hows:
                signed = transit.sign_data(kind, b64(text), hash_algorithm=name, **how)["data"]["signature"]
                check = lambda data: transit.verify_signed_data(
                    kind, b64(data), signature=signed, hash_algorithm=name, **how)["data"]["valid"]
                same((check(text), check(text + b"?")), (True, False))
                if kind == "ed25519":
                    ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(body(signed), text)
                elif kind in curves:
                    if how:
                        size = curves[kind][1]
                        raw = base64.urlsafe_b64decode(signed.split(":", 2)[2] + "==")
                        same(len(raw), 2 * size)
                        raw = encode_dss_signature(*(int.from_bytes(raw[i * size:][:size], "big") for i in range(2)))
                    else:
                        raw = body(signed)
                    serialization.load_pem_public_key(public.encode()).verify(raw, text, ec.ECDSA(digest))
                else:
                    pad = padding.PKCS1v15()
                    if how["signature_algorithm"] == "pss":
                        pad = padding.PSS(padding.MGF1(digest), digest.digest_size)
                    serialization.load_pem_public_key(public.encode()).verify(body(signed), text, pad, digest)
                checked["answers"] += 1
        hashed = hashlib.sha256(text).digest()
        if kind != "ed25519":
            signed = transit.sign_data(kind, b64(hashed), prehashed=True)["data"]["signature"]
            same(transit.verify_signed_data(kind, b64(text), signature=signed)["data"]["valid"], True)
    other = ed25519.Ed25519PrivateKey.generate().sign(text)
    forged = "vault:v1:" + b64(other)
    same(transit.verify_signed_data("ed25519", b64(text), signature=forged)["data"]["valid"], False)
    refused(hvac.exceptions.InvalidRequest, transit.encrypt_data, "ed25519", plaintext=b64("x"))
    try:
        public = transit.read_key("ed25519")["data"]["keys"]["1"]["public_key"]
        ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(other, text)
        raise AssertionError("another's signature holds")
    except InvalidSignature:
        checked["answers"] += 1


def tags():
    make("tags", "hmac", exportable=True)
    key = base64.b64decode(transit.export_key("tags", "hmac-key")["data"]["keys"]["1"])
    for name, digest in [("sha2-256", "sha256"), ("sha2-384", "sha384"), ("sha2-512", "sha512")]:
        tag = transit.generate_hmac("tags", b64("text"), algorithm=name)["data"]["hmac"]
        same(body(tag), hmac.new(key, b"text", digest).digest())
        check = lambda data: transit.verify_signed_data(
            "tags", b64(data), hmac=tag, hash_algorithm=name)["data"]["valid"]
        same((check("text"), check("test")), (True, False))
        same(transit.hash_data(b64("text"), algorithm=name)["data"]["sum"], hashlib.new(digest, b"text").hexdigest())
    same(len(bytes.fromhex(transit.generate_random_bytes(16, "hex")["data"]["random_bytes"])), 16)
    refused(hvac.exceptions.InvalidRequest, client.write_data, "transit/keys/x", data={"type": "xchacha20-poly1305"})
    refused(hvac.exceptions.InvalidRequest, transit.create_key, "x", allow_plaintext_backup=True)
    refused(hvac.exceptions.InvalidPath, transit.backup_key, "tags")


def under_load():
    """Four clients encrypt, move and decrypt while another rotates; none of them sees an error."""
    transit.create_key("busy")
    done, failed = threading.Event(), []

    def use():
        own = hvac.Client(url=url, token=token).secrets.transit
        try:
            while not done.is_set():
                text = own.encrypt_data("busy", plaintext=b64("x"))["data"]["ciphertext"]
                text = own.rewrap_data("busy", ciphertext=text)["data"]["ciphertext"]
                assert own.decrypt_data("busy", ciphertext=text)["data"]["plaintext"] == b64("x")
                checked["under_load"] += 3
        except Exception as error:
            failed.append(repr(error))

    users = [threading.Thread(target=use) for _ in range(4)]
    [user.start() for user in users]
    for _ in range(100):
        transit.rotate_key("busy")
    done.set()
    [user.join() for user in users]
    same(failed, [])
    same(transit.read_key("busy")["data"]["latest_version"], 101)


for nobody in ["", "wrong"]:
    refused((hvac.exceptions.Unauthorized, hvac.exceptions.Forbidden),
            hvac.Client(url=url, token=nobody).secrets.transit.read_key, "box")
lifecycle()
ciphers()
signatures()
tags()
under_load()
print(json.dumps(checked))
