"""Every tooltip of the docks, in one place; a test holds that no control is without one."""

from __future__ import annotations

from napari_ink.inference.doubts import WIDEST_WINDOW_MM

PREDICT = {
    "open_sample": "Open a small simulated fragment that comes with napari-ink.",
    "fragment": (
        "The stack to look for ink in: an image layer with depth. Drag the folder of a fragment "
        "onto the window to open it."
    ),
    "voxel_size": (
        "The side of a voxel in µm, which nothing beside this stack records. It stands in the "
        "description of the scan. Networks find ink only near the scale that they learned at."
    ),
    "checkpoint": (
        "The trained network. Listed are the sample, the file used last and the folder named "
        "under Preferences ▸ napari-ink."
    ),
    "browse": "Choose a checkpoint file (.safetensors).",
    "task": "What the network looks for, if it was trained for more than one thing.",
    "layers": (
        "Which layers of the stack the network sees, numbered as they are stored. Drag either "
        "handle; the window keeps the depth that the network was trained with. It matters: try "
        "others on a small region."
    ),
    "as_trained": "Layers in the order in which the checkpoint learned them.",
    "reversed": (
        "Layers against the order in which the checkpoint learned them. Which side of the sheet "
        "lies up differs from one segment to the next and is not recorded: if nothing shows, try "
        "the other direction."
    ),
    "order": "The first and the last layer that the network sees, numbered as they are stored.",
    "papyrus": "Everywhere inside the papyrus mask, nearest to the centre of the view first.",
    "visible": "Only what the canvas shows now: a quick look before a long run.",
    "shape": "Only the selected rectangles of a shapes layer.",
    "shapes": "The shapes layer whose rectangles are predicted.",
    "draw": "Add a shapes layer over the stack and draw a rectangle.",
    "device": "Where the network runs. Auto takes a graphics card if there is one.",
    "advanced": "Settings that are well chosen by themselves.",
    "tile": (
        "Side of the squares that the network sees at once, in pixels. Auto takes the largest "
        "that the memory holds."
    ),
    "overlap": (
        "How much neighbouring tiles share, blended. Auto gives every pixel its full surroundings, "
        "without seams."
    ),
    "precision": "Number format of the computation. Auto is right for the device.",
    "runtime": (
        "What runs the network. OpenVINO is faster on processors without a graphics card; int8 is "
        "faster still and changes the map a little, which the result reports."
    ),
    "folder": "Where predictions are kept. Predict again with the same settings to go on there.",
    "change_folder": "Choose another folder for predictions.",
    "predict": "Find the ink. The same settings go on where they were stopped. [Return]",
    "cancel": "Stop at the next block. What is finished stays and is not computed again. [Esc]",
    "status": "Finished blocks, pixels a second, time left, and where the network runs.",
    "notes": (
        "What to know before trusting the ink. Networks that saw windows above "
        f"{WIDEST_WINDOW_MM} mm can invent letters, another voxel size than in training blinds "
        "them, and ink found on a fragment that they were trained on proves nothing."
    ),
    "side_by_side": "Stack left, ink right, one camera and one layer slider.",
    "provenance": "How the chosen ink layer came about: files, settings, versions.",
}

PROVENANCE = {
    "text": "Everything recorded with this prediction.",
    "copy": "Copy the record to the clipboard.",
    "close": "Close this window.",
}
