import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function r(n){return n instanceof Error?n.message:String(n)}export{r as a};
