import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function r(n){return n instanceof Error?n.message:String(n)}function t(n){return n.length<=8?n.join(", "):`${n.slice(0,8).join(", ")} and ${n.length-8} more`}export{r as a,t as b};
