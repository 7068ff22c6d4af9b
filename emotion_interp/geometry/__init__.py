"""Geometry: the emotion space against people's valence and arousal."""

from emotion_interp.geometry.align import align, align_layers
from emotion_interp.geometry.cebra_space import CebraFold, CebraSpace, cebra_space
from emotion_interp.geometry.circumplex import CircumplexFit
from emotion_interp.geometry.compare import PairComparison, SpaceComparison, compare_spaces
from emotion_interp.geometry.controls import control_spaces
from emotion_interp.geometry.from_bank import emotion_space, text_spaces
from emotion_interp.geometry.gain import ReadoutGain
from emotion_interp.geometry.increment import Increment, PartialRSA, text_increment
from emotion_interp.geometry.pc_scan import ComponentFit, Components, principal_components
from emotion_interp.geometry.procrustes import ProcrustesFit
from emotion_interp.geometry.readout import ReadoutFit
from emotion_interp.geometry.residual import residual_geometry
from emotion_interp.geometry.residual_arrays import residual_alignments
from emotion_interp.geometry.residual_results import ResidualFit, ResidualGeometry
from emotion_interp.geometry.results import Alignment, LayerAlignments
from emotion_interp.geometry.rsa import RSAFit
from emotion_interp.geometry.space import EmotionSpace, load_space
from emotion_interp.geometry.text_baseline import text_baselines

__all__ = [
    "Alignment",
    "CebraFold",
    "CebraSpace",
    "CircumplexFit",
    "ComponentFit",
    "Components",
    "EmotionSpace",
    "Increment",
    "LayerAlignments",
    "PairComparison",
    "PartialRSA",
    "ProcrustesFit",
    "RSAFit",
    "ReadoutFit",
    "ReadoutGain",
    "ResidualFit",
    "ResidualGeometry",
    "SpaceComparison",
    "align",
    "align_layers",
    "cebra_space",
    "compare_spaces",
    "control_spaces",
    "emotion_space",
    "load_space",
    "principal_components",
    "residual_alignments",
    "residual_geometry",
    "text_baselines",
    "text_increment",
    "text_spaces",
]
