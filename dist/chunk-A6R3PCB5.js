import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as u}from"node:util";function d(e,n,g=process.stderr){let a=0,o=(r,t,f=e)=>u(r,t,{stream:f}),i=r=>{e.write(r===""?`
`:`${"  ".repeat(a)}${r}
`)},s=(r,t)=>p(r).split(`
`).forEach(t);return{info:r=>s(r,i),warning:r=>s(r,t=>i(`${o("yellow","warning:")} ${t}`)),error:r=>s(r,t=>g.write(`${o("red","error:",g)} ${t}
`)),good:r=>s(r,t=>i(o("green",t))),group:async(r,t)=>{n.GITLAB_CI&&e.write(c("start",r)),i(o("bold",r)),a++;try{return await t()}finally{a--,n.GITLAB_CI&&e.write(`${c("end",r)}
`)}}}}function c(e,n){return`\x1B[0Ksection_${e}:${Math.floor(Date.now()/1e3)}:mesh_canary_${n.replace(/\W/g,"_")}\r\x1B[0K`}function p(e){return e.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,"\uFFFD")}export{d as a};
