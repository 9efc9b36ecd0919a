import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as d}from"node:util";function w(r,s,c=process.stderr){let l=0,n=p(r,s),o=(e,t,f=r)=>d(e,t,{stream:f}),a=e=>n.above(r,e===""?`
`:`${"  ".repeat(l)}${e}
`),i=(e,t)=>g(e).split(`
`).forEach(t);return{info:e=>i(e,a),warning:e=>i(e,t=>a(`${o("yellow","warning:")} ${t}`)),error:e=>i(e,t=>n.above(c,`${o("red","error:",c)} ${t}
`)),live:n.show,isLive:n.isLive,success:e=>i(e,t=>a(o("green",t))),group:async(e,t)=>{s.GITLAB_CI&&r.write(u("start",e)),a(o("bold",e)),l++;try{return await t()}finally{l--,s.GITLAB_CI&&r.write(`${u("end",e)}
`)}}}}function p(r,{CI:s,TERM:c}){let l=r.isTTY&&!s&&c!=="dumb",n=[],o=0,a=i=>{o>0&&r.write(`\x1B[${o}A\x1B[0J`),i();let e=(r.columns||80)-1;n.length>0&&r.write(n.map(t=>`${Array.from(t).slice(0,e).join("")}
`).join("")),o=n.length};return{isLive:l,above:(i,e)=>a(()=>{i.write(e)}),show:i=>{l&&a(()=>n=i.map(g))}}}function u(r,s){return`\x1B[0Ksection_${r}:${Math.floor(Date.now()/1e3)}:mesh_canary_${s.replace(/\W/g,"_")}\r\x1B[0K`}function g(r){return r.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,"\uFFFD")}export{w as a};
