import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function e(r,l){let n=new AbortController;for(let o of r)process.on(o,()=>{l(o),n.abort(new Error("the run was cancelled"))});return n.signal}export{e as a};
