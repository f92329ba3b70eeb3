"""run the code cells of a draft up to (not including) the first that reads ../results, in notebooks/ dir"""
import re,sys,os
src=open(sys.argv[1]).read(); stop=sys.argv[2] if len(sys.argv)>2 else "../results"
os.chdir('/work/main/notebooks'); sys.path.insert(0,'/work/main')
import matplotlib; matplotlib.use("agg")
parts=re.split(r"^%% (md|code)\n",src,flags=re.M)[1:]
g={}
for k,b in zip(parts[::2],parts[1::2]):
    if k!="code": continue
    if stop in b or "@@" in b: break
    b=re.sub(r"^%matplotlib.*$","",b,flags=re.M)
    b=b.replace('"figures")','"/tmp/figs")')
    exec(compile(b,"cell","exec"),g)
