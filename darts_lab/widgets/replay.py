class Replay:
    pass
