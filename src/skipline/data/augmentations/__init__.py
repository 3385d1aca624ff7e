"""What can be done to a batch of training images.

Every augmentation is two functions: `draw_...` turns a random generator into plain numbers (offsets, boxes,
weights), one set per image, and the function that applies them knows nothing of chance. Pixels are (N, H, W,
C) throughout, in numpy: its loops stay on the calling thread, where torch's would start a second team of
threads beside training's.
"""
