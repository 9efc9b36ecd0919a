import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function t(r,n){return`${r} ${n}${r===1?"":"s"}`}export{t as a};
