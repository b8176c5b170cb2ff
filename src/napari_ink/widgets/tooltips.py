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
        "others on a small region. With a depth sweep, the layers that the window slides over."
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
    "samples": (
        "Over how many networks the ink is averaged. Each has other parts switched off, as while "
        "it was trained: where they disagree, the ink is uncertain, and their mean is calmer than "
        "any one. 1 is the network itself, once. A run that is stopped goes on, and so does one "
        "of which more samples are asked later."
    ),
    "samples_1": "A single pass of the network itself: the quick look.",
    "samples_60": "60 samples: enough for a map of uncertainty.",
    "samples_360": "360 samples: the surest map; on a whole fragment, let it run overnight.",
    "tolerance": (
        "A block takes no more samples once its mean is sure to within this, in probability (the "
        "standard error). None: all blocks take all samples."
    ),
    "dropout": "Share of the channels that each sample switches off, from 0 to .9.",
    "gate_noise": "How much each sample shakes the weights of its experts; 0: not at all.",
    "seed": "The same seed draws the same samples, on any machine.",
    "symmetries": (
        "Which way the fragment lies for the network, which should find the same ink either way. "
        "The mean of 4 or 8 ways is a little better and shows where they differ, at 4 or 8 times "
        "the cost; with samples, each takes another way at no cost. Each tile another way costs "
        "nothing either: what the network learned of one direction cancels from tile to tile."
    ),
    "depth_sweep": (
        "Slide the window of the network over all layers, in steps of so many: an ink layer at "
        "every place, which the slider of the layers goes through, and which Ink thresholds cuts "
        "one by one. For ink that lies deeper in one corner than in another, or in several sheets."
    ),
    "also": (
        "Add checkpoints: the ink is then the mean of all of them, and its spread is where they "
        "disagree. Each reads the layers and grey levels that it learned from; each costs a pass."
    ),
    "remove_checkpoint": "Leave this checkpoint out of the mean.",
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
    "status": "How far it is, pixels a second, time left, and where the network runs.",
    "notes": (
        "What to know before trusting the ink. Networks that saw windows above "
        f"{WIDEST_WINDOW_MM} mm can invent letters, another voxel size than in training blinds "
        "them, and ink found on a fragment that they were trained on proves nothing."
    ),
    "side_by_side": "Stack left, ink right, one camera and one layer slider.",
    "provenance": "How the chosen ink layer came about: files, settings, versions.",
}

THRESHOLDS = {
    "prediction": "The ink to cut: a prediction, or all ink maps of one fragment together.",
    "label": (
        "What is known to be ink, to score against: a Labels or an image layer of the same size. "
        "Without one, nothing says how good a cut is."
    ),
    "metric": (
        "The score to maximise and to draw. F0.5 counts a false letter more than a missed one; "
        "IoU is the share that prediction and label have in common."
    ),
    "papyrus": "Score everything inside the papyrus mask that the prediction was made with.",
    "whole": "Score everything that was predicted, papyrus or not.",
    "shape": "Score only inside the selected rectangles of a shapes layer.",
    "shapes": "The shapes layer whose rectangles are scored.",
    "draw": "Add a shapes layer over the ink and draw a rectangle.",
    "cut": "Set the probability from which on a pixel is ink.",
    "percentile": (
        "Set how much of a layer stays without ink, in percent of its papyrus. Suits layers whose "
        "probabilities are not comparable."
    ),
    "master": "The cut of all layers together. [Left], [Right], [Page up], [Page down]",
    "layer": "The cut of this layer alone.",
    "show": "Show the ink cut: what is ink bright, all else dark. Off: the probabilities.",
    "scores": "Scores at the cuts as they are now, over all layers together.",
    "curve": "The score that every position of the slider would have; the line is where it is.",
    "optimise": (
        "Find the best cut of every layer on one part of the fragment; the score on the other "
        "part is the one to believe. [Ctrl+Return]"
    ),
    "make": "Make a Labels layer of what is ink now, to correct by hand or to save.",
    "undo": "Take the last step back: a cut, an optimisation, a Labels layer. [Ctrl+Backspace]",
    "export": "Save what is ink now as PNG, TIFF or Kaggle run lengths.",
    "keep": (
        "Write the cuts into the prediction, with how they were chosen. They come back when it is "
        "opened, and `napari-ink export` takes them."
    ),
}

EXPERTS = {
    "checkpoints": PREDICT["checkpoint"],
    "browse": PREDICT["browse"],
    "tasks": PREDICT["task"],
    "others": "Another task or another network, to see what it weighs differently.",
    "browse_other": "Choose a checkpoint file to compare with (.safetensors).",
    "chart": (
        "Each bar is one block of the network, from the first layers (C1.1) down to the deepest "
        "(the last C) and up again (D). The colours are its experts, and how much each weighs. "
        "Click a block for its channels. [Arrows], [Return], [Esc]"
    ),
    "note": "What to do next, or what went wrong.",
    "about": (
        "Experts are convolutions over 5, 3 or 1 voxels a side, and averages over 3 or 5. A weight "
        "is no score: what an expert does to the ink shows when it is switched off."
    ),
    "pair": "Which of the two bars of a block is which network or task.",
    "words": (
        "The expert under the cursor: its mean weight in the block, and the standard deviation "
        "over the block's channels; in a comparison, second less first."
    ),
    "back": "Back to all blocks. [Esc]",
    "save": "Save what is shown as a picture (PNG), a drawing (SVG) or a table (CSV).",
    "box": "Leave this expert out; the others take over its weight.",
    "visible": "Predict only what the canvas shows now.",
    "shape": "Predict only the selected rectangles of a shapes layer.",
    "shapes": "The shapes layer whose rectangles are predicted.",
    "draw": PREDICT["draw"],
    "redo": (
        "Predict the region twice, with all experts and without those ticked, and show both beside "
        "the stack. Where the fragment has an ink label, both are scored."
    ),
    "cancel": "Stop at the next block.",
    "bar": "How much of both maps is done.",
    "status": "What to do before the region can be predicted.",
    "result": (
        "The region against the fragment's ink label: F0.5 at the checkpoint's threshold, and AUC, "
        "the chance that ink is rated above no ink, whatever the threshold. The network never "
        "learned to do without an expert, and the others grow to make up for its weight: a loss "
        "shows what it relies on, not what another network would need."
    ),
}

UNCERTAINTY = {
    "predictions": "The ink to doubt: a prediction made with more than 1 sample.",
    "words": "How many samples the blocks took, and how sure their mean is.",
    "samples": (
        "Show how many samples each block took, as colours over the ink. With a tolerance, blocks "
        "that were sure early took few."
    ),
    "count": "How many places at most.",
    "by": (
        "Spread: how far the samples lie apart. Disagreement: how much they contradict one another "
        "about ink or no ink, in bits; what all of them call a toss-up does not count. Undecided: "
        "the chance that a sample falls on the other side of the cut than the mean, which is what "
        "changes a reading."
    ),
    "find": (
        "Find the places where the ink is least sure over the area of a pen's stroke, apart from "
        "one another, the worst first. [Ctrl+Return]"
    ),
    "bar": "How much of the map is looked at.",
    "back": "The place before. [Shift+N]",
    "next": "The next place. [N]",
    "place": "The place looked at: probability of ink there, ± standard deviation of the samples.",
    "details": "Where the place is, and how far around it the doubt is at least half as large.",
    "status": "What came of the search.",
    "button": (
        "Count the prediction against the fragment's own ink label: is ink of probability .8 ink "
        "in eight of ten pixels?"
    ),
    "line": "The mean distance between predicted probability and share of ink, in 15 intervals.",
    "diagram": (
        "Predicted probability against the share that is ink in the label. Below the dashed line "
        "the map is too sure of ink, above it too shy."
    ),
}

SWEEP = {
    "sweep": (
        "Predict a small region through every window of layers, both ways, and choose by eye or "
        "by figures. Takes the drawn rectangle or what is visible, as chosen under Region."
    ),
    "probe": (
        "Plant simulated ink on this fragment, in memory, and see how weak it may get until the "
        "checkpoint misses it: then a blank map says more than nothing."
    ),
    "maps": "The maps so far, all on one scale from black (bare) to yellow (ink). [Arrows]",
    "status": "How far it is, and what came of it.",
    "notes": "What to know before trusting these maps.",
    "bar": "Small predictions done.",
    "stop": "Stop after the map under way; those that are there stay.",
    "take": "Set layers and direction of the Predict dock as in the chosen map. [Return]",
}

REVIEW = {
    "about": "A blind review: for where there is no label, and so no score.",
    "predictions": "One of the two predictions to compare.",
    "browse": "Choose a prediction from disk: a folder NAME.ink.zarr.",
    "shown": (
        "Show the probability, or ink and no ink: from the cut kept with the prediction on, or "
        "from a cut that you choose. One prediction may be compared with itself at two cuts."
    ),
    "layer": "Which layer of a prediction of many layers, from 0.",
    "cut": "The probability from which on a pixel is ink.",
    "regions": "How many regions to judge, at most: those with papyrus and ink in either.",
    "repeats": (
        "Show so many regions again later, sides swapped: they tell how far you agree with "
        "yourself, and count for nothing else."
    ),
    "side": "Side of a region: wide enough for a letter and its neighbours.",
    "reader": "Your name, for the file.",
    "start": "Choose regions by chance, and begin.",
    "go_on": "Take up a review from its file, or see the outcome of one.",
    "planning": "Looking for regions with papyrus and ink.",
    "cancel": "Do not begin.",
    "resume": "Take this review up where it stopped.",
    "status": "What became of the review.",
    "place": "How far you are. Every answer is kept at once.",
    "bar": "How far you are.",
    "question": "Left and right change places by chance from region to region.",
    "keys": "They are yours as long as regions are judged, wherever the focus is.",
    "left": "The left one is the more legible. [Left], [1]",
    "right": "The right one is the more legible. [Right], [2]",
    "same": "Neither is the more legible. [Down], [0]",
    "skip": "This region cannot be judged; it does not count. [S]",
    "undo": "Take the last answer back. [Backspace]",
    "stop": "Stop here. What is judged is kept; the review can be gone on with.",
    "outcome": "End the review and tell which was which. [Return]",
    "sentence": (
        "Of the regions in which one was the more legible. The interval is that of Clopper and "
        "Pearson; while it holds 50 %, chance alone may have done this."
    ),
    "table": "How often each was picked. Point at a name for its path.",
    "more": "A reader who has a favourite side picks it far more often than half the time.",
    "kept": "The file with regions, answers, seed and both predictions.",
    "save": "Save the file under another name too.",
    "again": "Begin another review.",
}

PROVENANCE = {
    "text": "Everything recorded with this prediction.",
    "copy": "Copy the record to the clipboard.",
    "close": "Close this window.",
}
