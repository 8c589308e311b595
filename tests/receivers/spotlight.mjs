// Starts Spotlight's sidecar for a test: on a free port of 127.0.0.1 alone, without the telemetry of its command.
// node spotlight.mjs FOLDER, the folder that has its node_modules.
import { Server } from "node:net";
import { pathToFileURL } from "node:url";

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};

const main = `${process.argv[2]}/node_modules/@spotlightjs/spotlight/dist/server/main.js`;
const { setupSpotlight } = await import(pathToFileURL(main));
const server = await setupSpotlight({ port: 0 });
console.log(`listening on http://127.0.0.1:${server.address().port}`);
