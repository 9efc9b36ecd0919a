import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as e}from"./chunk-X454RTNW.js";import{mkdtempSync as m,rmSync as t}from"node:fs";import{join as c}from"node:path";function s(o=process.env){let r=m(c(e(),"mesh-canary-"));process.on("exit",()=>t(r,{recursive:!0,force:!0})),o.RUNNER_TEMP=r}export{s as a};
