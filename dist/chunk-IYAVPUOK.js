import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as p}from"node:util";function y(r,n,l=process.stderr){let c=0,s=h(r,n),o=(e,t,g=r)=>p(e,t,{stream:g}),a=e=>s.above(r,e===""?`
`:`${"  ".repeat(c)}${e}
`),i=(e,t)=>d(e).split(`
`).forEach(t);return{info:e=>i(e,a),warning:e=>i(e,t=>a(`${o("yellow","warning:")} ${t}`)),error:e=>i(e,t=>s.above(l,`${o("red","error:",l)} ${t}
`)),live:s.show,isLive:s.isLive,success:e=>i(e,t=>a(o("green",t))),group:async(e,t)=>{n.GITLAB_CI&&r.write(f("start",e)),a(o("bold",e)),c++;try{return await t()}finally{c--,n.GITLAB_CI&&r.write(`${f("end",e)}
`)}}}}function h(r,{CI:n,TERM:l}){let c=r.isTTY&&!n&&l!=="dumb",s=[],o=[],a=i=>{let{columns:e,rows:t}=w(r),g=o.reduce((u,m)=>u+Math.max(1,Math.ceil(Array.from(m).length/e)),0);g>0&&r.write(`\x1B[${Math.min(g,t-1)}A\x1B[0J`),i(),o=v(s,t-1).map(u=>Array.from(u).slice(0,e-1).join("")),o.length>0&&r.write(o.map(u=>`${u}
`).join(""))};return{isLive:c,above:(i,e)=>a(()=>{i.write(e)}),show:i=>{c&&a(()=>s=i.map(e=>d(e).replaceAll(`
`," ")))}}}function w({columns:r,rows:n}){return{columns:r||80,rows:Math.max(2,n||24)}}function v(r,n){return r.length<=n?r:[...r.slice(0,n-1),`\u2026 and ${r.length-n+1} more lines`]}function f(r,n){return`\x1B[0Ksection_${r}:${Math.floor(Date.now()/1e3)}:mesh_canary_${n.replace(/\W/g,"_")}\r\x1B[0K`}function d(r){return r.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,"\uFFFD")}export{y as a};
