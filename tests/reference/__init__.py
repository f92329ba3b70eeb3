"""The textbook implementation that darts_lab is held against. It never imports darts_lab."""
