import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function e(r,n){return r.length<=n?r:`${r.slice(0,n-1).replace(/[\ud800-\udbff]$/,"")}\u2026`}export{e as a};
