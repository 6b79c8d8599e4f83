// What a JavaScript program does with @huggingface/hub: run by the tests.
import { readdirSync } from "node:fs";
import {
  downloadFile, fileDownloadInfo, fileExists, listFiles, listModels, modelInfo, parseSafetensorsMetadata, snapshotDownload, whoAmI,
} from "@huggingface/hub";

const [hubUrl, accessToken, repo, path, cacheDir] = process.argv.slice(2);
const options = { hubUrl, accessToken, repo };
const listed = [];
for await (const model of listModels({ hubUrl, accessToken, limit: 10 })) listed.push(model.name);
const files = [];
for await (const file of listFiles({ ...options, recursive: true })) files.push(file.path);
const told = {
  listed,
  files,
  whoami: (await whoAmI({ hubUrl, accessToken })).name,
  described: (await modelInfo({ hubUrl, accessToken, name: repo })).name,
  exists: [await fileExists({ ...options, path }), await fileExists({ ...options, path: "no.txt" })],
  bytes: (await downloadFile({ ...options, path })).size,
  size: (await fileDownloadInfo({ ...options, path })).size,
  tensors: Object.keys((await parseSafetensorsMetadata({ ...options, path, revision: "main" })).header).filter((name) => name === "filling"),
  snapshot: readdirSync(await snapshotDownload({ ...options, cacheDir })),
};
console.log(JSON.stringify(told));
