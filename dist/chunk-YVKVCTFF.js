import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
async function o(t){let s=(await Promise.allSettled(t)).flatMap(e=>e.status==="rejected"?[e.reason]:[]);if(s.length>0)throw new Error(s.map(({message:e})=>e).join(`
`),{cause:s[0]});return Promise.all(t)}export{o as a};
