import json,base64,sys
for n in sys.argv[1:]:
    nb=json.load(open(f"/work/main/notebooks/{n}.ipynb")); k=0
    for i,c in enumerate(nb["cells"]):
        for o in c.get("outputs",[]):
            if o["output_type"]=="error": print(n,i,"ERROR",o["evalue"])
            if o["output_type"]=="stream" and o["name"]=="stderr": print(n,i,"STDERR","".join(o["text"])[:300])
            if o["output_type"]=="stream" and o["name"]=="stdout" and len(sys.argv)==2: print(f"[{i}]","".join(o["text"])[:1500])
            d=o.get("data",{}).get("image/png")
            if d: open(f"/root/scratch/pic_{n[:2]}_{i}_{k}.png","wb").write(base64.b64decode(d)); print(f"pic_{n[:2]}_{i}_{k}.png"); k+=1
    print(n,len(nb["cells"]),k)
