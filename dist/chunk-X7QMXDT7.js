import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as o}from"./chunk-VZV7CUAF.js";import{mkdtempSync as m,rmSync as n}from"node:fs";import{join as t}from"node:path";function s(e=process.env){let r=m(t(o(),"mesh-canary-"));process.on("exit",()=>n(r,{recursive:!0,force:!0})),e.RUNNER_TEMP=r}export{s as a};
