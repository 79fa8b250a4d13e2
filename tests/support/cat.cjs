// Common Access Tokens by another library, as JSON.
//
//   cat-node cat.cjs KEYS.json read TOKEN URL          what it says, and why it does not open URL, if it does not
//   cat-node cat.cjs KEYS.json make ISSUER PATH        a token for what is below PATH, for a minute
const { readFileSync } = require("node:fs");
const { CAT } = require("@eyevinn/cat");

const [file, task, ...words] = process.argv.slice(2);
const [key] = JSON.parse(readFileSync(file, "utf8")).keys;
const cat = new CAT({ keys: { [key.kid]: Buffer.from(key.k, "base64url") }, expectCwtTag: true });

async function main() {
  if (task === "read") {
    const [token, url] = words;
    try {
      const { cat: read, error } = await cat.validate(token, "mac", { issuer: "shop", url: new URL(url) });
      console.log(JSON.stringify({ claims: read?.claims ?? null, error: error ? String(error.message ?? error) : null }));
    } catch (error) {
      console.log(JSON.stringify({ claims: null, error: String(error.message ?? error) }));
    }
  } else {
    const [iss, path] = words;
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss, sub: "bob", iat: now, exp: now + 60, catu: { path: { "prefix-match": path } }, catm: ["GET"] };
    const token = await cat.generateFromJson(claims, { type: "mac", alg: "HS256", kid: key.kid, generateCwtId: true });
    console.log(JSON.stringify({ token }));
  }
}

void main();
