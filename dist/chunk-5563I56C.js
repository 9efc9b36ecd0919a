import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as l}from"node:util";function d(e,n,c=process.stderr){let a=0,i=(r,t,g=e)=>l(r,t,{stream:g}),o=r=>{e.write(r===""?`
`:`${"  ".repeat(a)}${r}
`)},s=(r,t)=>f(r).split(`
`).forEach(t);return{info:r=>s(r,o),warning:r=>s(r,t=>o(`${i("yellow","warning:")} ${t}`)),error:r=>s(r,t=>c.write(`${i("red","error:",c)} ${t}
`)),success:r=>s(r,t=>o(i("green",t))),group:async(r,t)=>{n.GITLAB_CI&&e.write(u("start",r)),o(i("bold",r)),a++;try{return await t()}finally{a--,n.GITLAB_CI&&e.write(`${u("end",r)}
`)}}}}function u(e,n){return`\x1B[0Ksection_${e}:${Math.floor(Date.now()/1e3)}:mesh_canary_${n.replace(/\W/g,"_")}\r\x1B[0K`}function f(e){return e.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,"\uFFFD")}export{d as a};
