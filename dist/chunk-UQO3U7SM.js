import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function s(c){let e=new Map;return(n,i)=>{let r=e.get(n);if(r!==void 0)return r;e.size>=c&&e.clear();let t=Buffer.from(n).toString(),o=i(t);return e.set(t,o),o}}export{s as a};
