from .presets import PRESETS as PRESETS
from .presets import Preset as Preset
from .presets import preset as preset
from .presets import preset_settings as preset_settings
from .run import Study as Study
from .run import run_study as run_study
from .settings import StudySettings as StudySettings
