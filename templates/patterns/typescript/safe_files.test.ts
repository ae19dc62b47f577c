import assert from "node:assert/strict";
import { mkdtemp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Refused, safePath, storeUpload } from "./safe_files.js";

const PNG = Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), Buffer.alloc(100, "x")]);

async function withUploads(body: (folder: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "proof-"));
  const folder = join(root, "uploads");
  await mkdir(folder);
  await mkdir(join(root, "uploads-private"));
  await writeFile(join(root, "uploads-private", "secret"), "s");
  await symlink(join(root, "uploads-private"), join(folder, "link"));
  try {
    await body(folder);
  } finally {
    await rm(root, { recursive: true });
  }
}

async function* pieces(data: Buffer, size = 7): AsyncGenerator<Buffer> {
  for (let start = 0; start < data.length; start += size) yield data.subarray(start, start + size);
}

test("paths that leave are refused, paths inside are allowed", () =>
  withUploads(async (folder) => {
    for (const name of ["../uploads-private/secret", "..", ".", "", "a/../../uploads-private/secret", "/etc/passwd", "link/secret", "link/new", "a\0b", "..\\secret"])
      await assert.rejects(safePath(folder, name), Refused, name);
    for (const name of ["a.png", "a/b.png", "a/../b.png", "..a", "ä.png"]) assert.ok((await safePath(folder, name)).includes("uploads"), name);
  }));

test("an upload gets a name and rights of ours", () =>
  withUploads(async (folder) => {
    const path = await storeUpload(folder, pieces(PNG), { allowed: ["png", "jpeg"], limit: 1000 });
    assert.ok((await readFile(path)).equals(PNG));
    assert.match(path, /\.png$/);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  }));

test("wrong and broken uploads leave nothing", () =>
  withUploads(async (folder) => {
    const before = await readdir(folder);
    const wrong: [Buffer, number][] = [[Buffer.alloc(0), 1000], [PNG, 50], [Buffer.from("<svg onload=alert(1)>"), 1000], [Buffer.concat([Buffer.from("MZ"), PNG]), 1000], [PNG.subarray(0, 7), 1000]];
    for (const [data, limit] of wrong) await assert.rejects(storeUpload(folder, pieces(data), { allowed: ["png"], limit }), Refused);
    async function* broken(): AsyncGenerator<Buffer> {
      yield PNG;
      throw new Error("reset");
    }
    await assert.rejects(storeUpload(folder, broken(), { allowed: ["png"], limit: 1000 }), /reset/);
    assert.deepEqual(await readdir(folder), before);
  }));
