import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as r}from"./chunk-DNBQ2ZL6.js";import{n as i}from"./chunk-G32SDDXB.js";import"./chunk-TIQ2RXAT.js";async function a(){try{let t=(await r('ioreg -rd1 -c "IOPlatformExpertDevice"')).stdout.split(`
`).find(n=>n.includes("IOPlatformUUID"));if(!t)return;let e=t.split('" = "');if(e.length===2)return e[1].slice(0,-1)}catch(t){i.debug(`error reading machine id: ${t}`)}}export{a as getMachineId};
