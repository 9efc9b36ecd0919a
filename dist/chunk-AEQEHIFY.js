import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function t(e){return Object.fromEntries(Object.entries(e).filter(([,n])=>n!==void 0))}export{t as a};
