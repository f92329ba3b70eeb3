"""build(path, text): a notebook from text whose cells are parted by lines '%% md' and '%% code'."""
import sys, re, nbformat
def build(src, out):
    text = open(src).read()
    parts = re.split(r"^%% (md|code)\n", text, flags=re.M)[1:]
    cells = []
    for kind, body in zip(parts[::2], parts[1::2]):
        body = body.strip("\n")
        make = nbformat.v4.new_markdown_cell if kind == "md" else nbformat.v4.new_code_cell
        cells.append(make(body, id=f"{len(cells):02d}"))
    nb = nbformat.v4.new_notebook(cells=cells)
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nb.metadata["language_info"] = {"name": "python"}
    nbformat.write(nb, out)
if __name__ == "__main__": build(*sys.argv[1:])
