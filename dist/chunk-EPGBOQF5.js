import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{styleText as b}from"node:util";function x(e,t,u=process.stderr){let c=0,o=h(e,t),i=(r,n,l=e)=>b(r,n,{stream:l}),a=r=>o.above(e,r===""?`
`:`${"  ".repeat(c)}${r}
`),s=(r,n)=>m(r).split(`
`).forEach(n);return{info:r=>s(r,a),warning:r=>s(r,n=>a(`${i("yellow","warning:")} ${n}`)),error:r=>s(r,n=>o.above(u,`${i("red","error:",u)} ${n}
`)),live:o.show,isLive:o.isLive,success:r=>s(r,n=>a(i("green",n))),group:async(r,n)=>{t.GITLAB_CI&&e.write(g("start",r)),a(i("bold",r)),c++;try{return await n()}finally{c--,t.GITLAB_CI&&e.write(`${g("end",r)}
`)}}}}function h(e,{CI:t,TERM:u}){let c=e.isTTY&&!t&&u!=="dumb",o=[],i=[],a=s=>{let{columns:r,rows:n}=w(e),l=i.reduce((f,p)=>f+Math.max(1,Math.ceil(d(p)/r)),0);l>0&&e.write(`\x1B[${Math.min(l,n-1)}A\x1B[0J`),s(),i=$(o,n-1).map(f=>y(r-1,f)),i.length>0&&e.write(i.map(f=>`${f}
`).join(""))};return{isLive:c,above:(s,r)=>a(()=>{s.write(r)}),show:s=>{c&&a(()=>o=s.map(r=>m(r).replace(/[\n\t]/g," ")))}}}function w({columns:e,rows:t}){return{columns:e||80,rows:Math.max(2,t||24)}}var v=/[\u1100-\u1fff\u2300-\u23ff\u25fd\u25fe\u2600-\u27bf\u2b00-\u2bff\u2e80-\u{10ffff}]/u;function d(e){return Array.from(e).reduce((t,u)=>t+(v.test(u)?2:1),0)}function y(e,t){let u=Array.from(t),c=0,o=u.findIndex(i=>(c+=d(i))>e);return o<0?t:u.slice(0,o).join("")}function $(e,t){return e.length<=t?e:[...e.slice(0,t-1),`\u2026 and ${e.length-t+1} more lines`]}function g(e,t){return`\x1B[0Ksection_${e}:${Math.floor(Date.now()/1e3)}:mesh_canary_${t.replace(/\W/g,"_")}\r\x1B[0K`}function m(e){return e.replace(/\r\n/g,`
`).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,"\uFFFD")}export{x as a};
