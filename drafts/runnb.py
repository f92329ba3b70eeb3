"""run code cells of a draft: runnb.py DRAFT OUTDIR [FIRST-LAST]"""
import re,sys,os,traceback
src=open(sys.argv[1]).read(); out=os.path.abspath(sys.argv[2]); os.makedirs(out,exist_ok=True)
span=[int(x) for x in sys.argv[3].split('-')] if len(sys.argv)>3 else [0,10**6]
os.chdir('/work/main/notebooks'); sys.path.insert(0,'/work/main')
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt
parts=re.split(r"^%% (md|code)\n",src,flags=re.M)[1:]
g={"__name__":"__main__"}; n=0; k=0
def show(*a,**kw):
    global k
    for f in plt.get_fignums(): plt.figure(f).savefig(f"{out}/{n:02d}_{k}.png",dpi=70); k+=1
    plt.close("all")
plt.show=show
for kind,b in zip(parts[::2],parts[1::2]):
    if kind!="code": continue
    n+=1
    if n>span[1]: break
    if n<span[0] and n>1: continue
    b=re.sub(r"^%matplotlib.*$","",b,flags=re.M).replace('dl.figures.save(','_save(')
    g["_save"]=lambda *a,**kw: None
    print(f"-- cell {n}",flush=True)
    try: exec(compile(b,f"cell{n}","exec"),g)
    except Exception: traceback.print_exc()
    show()
