// Passkeys as a browser makes and shows them (Web Authentication), and where it does.

/** Browsers keep them from pages of other addresses than https and this machine. */
export const HAS_PASSKEYS = "PublicKeyCredential" in globalThis;

const LOCALHOST = "http://localhost";

/** What to do instead, where this page cannot have the passkeys of `at`; empty where it can. */
export function elsewhere(at: string): string {
  const { origin, protocol, hostname, port } = location;
  if (!at || origin === at || (at === LOCALHOST && protocol === "http:" && hostname === "localhost")) return "";
  if (at !== LOCALHOST) return `Passkeys are for ${at}: open ${at}/account.`;
  if (/^(127\.|\[::1\]$)/.test(hostname)) return `Passkeys need a name: open ${LOCALHOST}${port && `:${port}`}/account, or have gateway.identity.url set.`;
  return "Passkeys need a name and https: who runs this server sets gateway.identity.url to the address of its pages.";
}

/** Has a device make one; what the server wants to know of it. */
export async function makePasskey(options: PublicKeyCredentialCreationOptionsJSON): Promise<unknown> {
  return said(await asked(() => navigator.credentials.create({ publicKey: creation(options) })));
}

/** Has a device show one that it holds for here. */
export async function showPasskey(options: PublicKeyCredentialRequestOptionsJSON): Promise<unknown> {
  return said(await asked(() => navigator.credentials.get({ publicKey: request(options) })));
}

const FAULTS: Record<string, string> = {
  NotAllowedError: "It was cancelled, took too long, or there is no passkey for here.",
  AbortError: "It was cancelled.",
  InvalidStateError: "This device has a passkey of yours already.",
  SecurityError: "Passkeys are not possible at this address.",
  NotSupportedError: "This device makes no passkeys of the kinds that are taken here.",
  ConstraintError: "This device keeps no passkeys, or has no lock that it could ask for.",
};

async function asked(device: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const credential = await device();
    if (credential) return credential as PublicKeyCredential;
  } catch (error) {
    throw new Error((error instanceof DOMException && FAULTS[error.name]) || "The browser could not ask for a passkey.");
  }
  throw new Error("The browser gave no passkey.");
}

// What older browsers leave to the page: JSON to bytes, and back.

type Statics = Partial<Pick<typeof PublicKeyCredential, "parseCreationOptionsFromJSON" | "parseRequestOptionsFromJSON">>;
const statics = (): Statics => PublicKeyCredential;

function creation(options: PublicKeyCredentialCreationOptionsJSON): PublicKeyCredentialCreationOptions {
  const { parseCreationOptionsFromJSON: parse } = statics();
  if (parse) return parse.call(PublicKeyCredential, options);
  const { rp, pubKeyCredParams, challenge, user, excludeCredentials = [], ...rest } = options;
  const binary = { challenge: bytes(challenge), user: { ...user, id: bytes(user.id) }, excludeCredentials: excludeCredentials.map(known) };
  return { ...(rest as object), ...binary, rp, pubKeyCredParams } as PublicKeyCredentialCreationOptions;
}

function request(options: PublicKeyCredentialRequestOptionsJSON): PublicKeyCredentialRequestOptions {
  const { parseRequestOptionsFromJSON: parse } = statics();
  if (parse) return parse.call(PublicKeyCredential, options);
  const { challenge, allowCredentials = [], ...rest } = options;
  return { ...(rest as object), challenge: bytes(challenge), allowCredentials: allowCredentials.map(known) } as PublicKeyCredentialRequestOptions;
}

const known = ({ id, ...rest }: PublicKeyCredentialDescriptorJSON) => ({ ...rest, id: bytes(id) });

function said(credential: PublicKeyCredential): unknown {
  if ("toJSON" in credential) return credential.toJSON();
  const { id, rawId, type, response } = credential as PublicKeyCredential;
  const part = (name: string) => {
    const value: unknown = Reflect.get(response, name);
    return value instanceof ArrayBuffer ? { [name]: text(value) } : {};
  };
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"].map(part);
  return { id, rawId: text(rawId), type, clientExtensionResults: {}, response: Object.assign({}, ...parts) as object };
}

function bytes(base64url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
}

function text(buffer: ArrayBuffer): string {
  const plain = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return plain.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
