import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as l}from"node:util";function p(e,o){let n=0,i=(r,t)=>l(r,t,{stream:e}),g=r=>{e.write(`${"  ".repeat(n)}${r}
`)},s=(r,t)=>f(r).split(`
`).forEach(a=>g(t(a)));return{info:r=>s(r,t=>t),warning:r=>s(r,t=>`${i("yellow","warning:")} ${t}`),error:r=>s(r,t=>`${i("red","error:")} ${t}`),good:r=>s(r,t=>i("green",t)),group:async(r,t)=>{o.GITLAB_CI&&e.write(c("start",r,`[collapsed=${r==="check"}]`)),g(i("bold",r)),n++;try{return await t()}finally{n--,o.GITLAB_CI&&e.write(`${c("end",r)}
`)}}}}function c(e,o,n=""){return`\x1B[0Ksection_${e}:${Math.floor(Date.now()/1e3)}:mesh_canary_${o.replace(/\W/g,"_")}${n}\r\x1B[0K`}function f(e){return e.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,"\uFFFD")}export{p as a};
