import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{setFlagsFromString as o}from"node:v8";function i(){o("--semi-space-growth-factor=1")}export{i as a};
