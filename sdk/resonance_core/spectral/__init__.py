# SPDX-License-Identifier: MIT
"""Is there a period, who makes it, did it change?

::

    neighbours   whose rhythm the queue of the others follows
    scores       how much of it each explains, and whether the best may be named
    period       the dominant period of a series, and whether that is more than chance
    membership   whether a source keeps the period it is said to have
    significance a line against the noise around it
    tone         frequency, amplitude and phase of one sinusoid, as exactly as noise allows
    coupling     phase locking and coherence of frames
    entropy      how much less random than white noise a spectrum is
    spectra      what many frames say together, and how many they are worth
    frames       one Fourier frame per hop, while the bins come in
    series       the bins themselves, and which of them nobody has seen
    lines        rhythms that are the kernel's own
    change       did a level move?
    stft         the whole spectrogram at once, for pictures; the one that needs scipy

Import the module that answers the question; nothing is re-exported here, so that a process
that must stay small never loads scipy.
"""
