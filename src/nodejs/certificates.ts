/**
 * Certificates of this machine: a certificate authority (CA) of its user's own, made
 * at first need, and a server certificate that it signs for the names and addresses
 * under which the machine is reached. They lie in a folder of the user, the private
 * keys readable by nobody else. The CA stays the same, so devices that know its
 * fingerprint, or trust it, need no news when the server's certificate is renewed.
 */
import "reflect-metadata";
import {
  createHash,
  createPrivateKey as privateKeyOf,
  randomBytes,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  X509Certificate as Certificate,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { InputError, messageOf } from "../base/errors.ts";
import { replacePrivate } from "./replace-file.ts";

/** What a TLS server shows and proves itself with. */
export interface Identity {
  /** The server's certificate and those above it, as PEM. */
  readonly cert: string;
  /** Private key, as PEM. */
  readonly key: string;
  /** Certificate of the own CA, as PEM; null where the user brought a certificate. */
  readonly ca: string | null;
}

const dayMs = 86_400_000;
const caDays = 3650;
/** Short enough for every browser's limit on certificates of authorities that users add. */
const serverDays = 90;
/** A server certificate that holds for fewer days is made anew. */
const renewalDays = 30;
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** SHA-256 of a certificate (PEM or DER), as join links carry it: base64url, 43 characters. */
export const fingerprintOf = (certificate: string | Uint8Array): string =>
  createHash("sha256").update(new X509Certificate(certificate).raw).digest("base64url");

/**
 * Names and addresses under which a server that listens on `host` is reached.
 * @param more what the user adds: names that a router or a name server gives this machine
 */
export function reachableNames(host: string, more: readonly string[]): string[] {
  const own = hostname();
  const names = ["localhost", own, ...(own.includes(".") ? [] : [`${own}.local`]), ...more];
  const isAny = host === "0.0.0.0" || host === "::";
  const addresses = isAny
    ? Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
    : [];
  const all = ["127.0.0.1", "::1", ...names, ...(isAny ? addresses : [host])];
  // A link-local address with its zone cannot stand in a certificate.
  return [...new Set(all)].filter((name) => isIP(name) !== 0 || /^[A-Za-z0-9.-]+$/.test(name));
}

/**
 * The server's certificate for these names, made or renewed where it has to be.
 * @param folder where CA and certificate are kept
 * @throws InputError where the folder cannot be read or written
 */
export async function ownIdentity(
  folder: string,
  names: readonly string[],
  now = Date.now(),
): Promise<Identity> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const ca = await certificateAuthority(folder, now);
    const file = join(folder, "server.pem");
    const kept = existsSync(file) ? readFileSync(file, "utf8") : null;
    if (kept !== null && isGood(kept, ca.pem, names, now)) {
      return { cert: certificatesIn(kept), key: keyIn(kept), ca: ca.pem };
    }
    const made = await newServerCertificate(ca, names, now);
    replacePrivate(file, `${made.cert}${made.key}`);
    return { ...made, ca: ca.pem };
  } catch (error) {
    throw new InputError(
      {
        what: "folder of certificates",
        received: `${folder} (${messageOf(error)})`,
        allowed: "a folder of this user, to be named by --state",
      },
      { cause: error },
    );
  }
}

/** The certificate that the user brought. @throws InputError where it is none or the key is another's */
export function givenIdentity(certFile: string, keyFile: string): Identity {
  const refuse = (what: string, received: string, allowed: string): never => {
    throw new InputError({ what, received, allowed });
  };
  const read = (what: string, path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      return refuse(what, `${path} (${messageOf(error)})`, "a PEM file that can be read");
    }
  };
  const cert = read("--cert", certFile);
  const key = read("--key", keyFile);
  const leaf = parsed(cert) ?? refuse("--cert", certFile, "a certificate as PEM");
  try {
    if (!leaf.checkPrivateKey(privateKeyOf(key))) throw new Error("the key of another certificate");
  } catch (error) {
    refuse("--key", `${keyFile} (${messageOf(error)})`, `the private key of ${certFile}, as PEM`);
  }
  return { cert, key, ca: null };
}

/** A certificate that nobody vouches for: whoever connects knows its fingerprint. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
  /** See {@link fingerprintOf}. */
  readonly fingerprint: string;
}

/** Makes a certificate for as long as a process lives; it is kept nowhere. */
export async function selfSigned(name: string, now = Date.now()): Promise<SelfSigned> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [`Edgeloom worker on ${name}`.slice(0, 64)] }],
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + caDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    ],
  });
  const cert = certificate.toString("pem");
  return { cert, key: await pemOfKey(keys.privateKey), fingerprint: fingerprintOf(cert) };
}

/** Asks of a certificate (PEM) whether it covers a host name or address, as TLS clients judge it. */
export function coveredBy(certificate: string): (name: string) => boolean {
  const leaf = new X509Certificate(certificate);
  return (name) => (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined;
}

interface Authority {
  readonly pem: string;
  readonly certificate: Certificate;
  readonly key: webcrypto.CryptoKey;
}

/** The CA in this folder, made where there is none. Of two processes that make one, the first wins. */
async function certificateAuthority(folder: string, now: number): Promise<Authority> {
  const file = join(folder, "ca.pem");
  if (!existsSync(file)) {
    const made = await newAuthority(now);
    const own = join(folder, `ca-${randomBytes(6).toString("hex")}.part`);
    writeFileSync(own, made, { mode: 0o600 });
    try {
      linkSync(own, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(own, { force: true });
    }
  }
  const text = readFileSync(file, "utf8");
  const pem = certificatesIn(text);
  const der = privateKeyOf(keyIn(text)).export({ type: "pkcs8", format: "der" });
  const key = await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  return { pem, certificate: new Certificate(pem), key };
}

async function newAuthority(now: number): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [commonName(`Edgeloom CA of ${hostname()}`)] }, { O: ["Edgeloom"] }],
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + caDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      // It signs servers and no further authorities.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString("pem")}\n${await pemOfKey(keys.privateKey)}`;
}

async function newServerCertificate(
  ca: Authority,
  names: readonly string[],
  now: number,
): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [commonName(hostname())] }],
    issuer: ca.certificate.subject,
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + serverDays * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: ca.key,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey),
    ],
  });
  const cert = `${certificate.toString("pem")}\n${ca.pem}`;
  return { cert, key: await pemOfKey(keys.privateKey) };
}

/** Whether a kept certificate is of this CA, lasts long enough, and covers every name. */
function isGood(pem: string, ca: string, names: readonly string[], now: number): boolean {
  const leaf = parsed(pem);
  if (leaf === null || !leaf.verify(new X509Certificate(ca).publicKey)) return false;
  const leftMs = Date.parse(leaf.validTo) - now;
  return leftMs > renewalDays * dayMs && names.every(coveredBy(leaf.toString()));
}

function parsed(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

const pemBlocks = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----\n?/g;

const certificatesIn = (pem: string): string =>
  [...pem.matchAll(pemBlocks)]
    .flatMap(([block, kind]) => (kind === "CERTIFICATE" ? block : []))
    .join("");

const keyIn = (pem: string): string =>
  [...pem.matchAll(pemBlocks)].find(([, kind]) => kind?.endsWith("PRIVATE KEY"))?.[0] ?? "";

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key)).toString("base64");
  const lines = der.match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}

/** A common name has 64 characters at most (RFC 5280, appendix A.1). */
const commonName = (text: string): string => text.slice(0, 64);

/** Positive, and never the same twice. */
const serialNumber = (): string => `01${randomBytes(15).toString("hex")}`;
