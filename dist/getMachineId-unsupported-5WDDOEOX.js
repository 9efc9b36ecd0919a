import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{n as o}from"./chunk-G32SDDXB.js";import"./chunk-TIQ2RXAT.js";async function e(){o.debug("could not read machine-id: unsupported platform")}export{e as getMachineId};
