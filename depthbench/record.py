"""The columns of every result table: name, type, unit, meaning. Written once, here.

`store.py` builds its Parquet schemas from this table, `docs/columns.md` is generated from it, and a
row with a name that is not here is refused. Unknown is null, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# 1: first version.
SCHEMA_VERSION = 1

STATUSES = ("ok", "diverged", "unsupported", "oom", "failed", "timeout")
FAILURES = ("oom", "failed", "timeout")
SPLITS = ("train", "val", "test")
# Final metrics, with the direction in which they are better.
METRICS: dict[str, Literal["lower", "higher"]] = {
    "loss": "lower",
    "accuracy": "higher",
    "psnr_db": "higher",
    "bits_per_byte": "lower",
}
# Where no value of a metric can lie beyond: its lowest and its highest; None: no bound.
METRIC_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "loss": (0.0, None),
    "accuracy": (0.0, 1.0),
    "psnr_db": (None, None),
    "bits_per_byte": (0.0, None),
}

ColumnType = Literal[
    "string",
    "int64",
    "float64",
    "bool",
    "list<int64>",
    "list<float64>",
    "list<string>",
    "list<budget>",
]


@dataclass(frozen=True, slots=True)
class Column:
    """Describe one column; `unit` is empty for names, flags and pure numbers."""

    name: str
    type: ColumnType
    unit: str
    meaning: str


def _metric_columns() -> tuple[Column, ...]:
    meanings = {
        "loss": (
            "nats",
            "mean loss of the task: cross-entropy; mean squared error a pixel of images, not nats",
        ),
        "accuracy": ("fraction", "share of examples classified right"),
        "psnr_db": ("dB", "peak signal-to-noise ratio over the whole split, from its mean MSE"),
        "bits_per_byte": ("bits", "cross-entropy a byte of text"),
    }
    where = {
        "train": "at the end, on the training examples",
        "val": "at the end, on the validation examples",
        "test": "on the test examples, read once, at the best learning rate only",
    }
    return tuple(
        Column(f"{split}_{metric}", "float64", unit, f"{meaning}, {where[split]}")
        for metric, (unit, meaning) in meanings.items()
        for split in SPLITS
    )


TRIAL_COLUMNS: tuple[Column, ...] = (
    Column("trial_id", "string", "", "hash of the trial's settings that are not at their default"),
    Column("variant_id", "string", "", "the same of the variant alone"),
    Column("suite", "string", "", "name of the suite"),
    Column("run", "string", "", "name of the run"),
    Column("status", "string", "", "ok, diverged, unsupported, oom, failed or timeout"),
    Column("error", "string", "", "why the status is not ok"),
    Column("family", "string", "", "how the modules are laid out"),
    Column("backbone", "string", "", "kind of residual module, stem and head"),
    Column("depth", "int64", "modules", "residual modules, L"),
    Column("width", "int64", "features", "size of the residual stream, d"),
    Column("hidden", "int64", "features", "hidden size of a module, d_h; null where it has none"),
    Column("activation", "string", "", "nonlinearity inside a module"),
    Column("norm", "string", "", "normalisation at the start of a module"),
    Column("norm_affine", "bool", "", "whether norms have trained weights"),
    Column("bias", "bool", "", "whether linear and convolution layers have biases"),
    Column("residual_scale", "string", "", "s in z + s f(z)"),
    Column("kernel", "int64", "pixels", "side of the convolution kernel"),
    Column("stem_stride", "int64", "pixels", "stride of the stem's convolution"),
    Column("head_norm", "bool", "", "whether the head normalises the stream first"),
    Column("output", "string", "", "what the outputs go through: identity or sigmoid"),
    Column("lift", "string", "", "whether the mlp's input projection is trained or fixed"),
    Column(
        "dropout", "float64", "fraction", "zeroed activations before a block's last convolution"
    ),
    Column("heads", "int64", "heads", "attention heads of a module"),
    Column("head_size", "int64", "features", "features of an attention head"),
    Column("kv_heads", "int64", "heads", "heads of keys and values; null: as many as heads"),
    Column("patch", "int64", "pixels", "side of an image patch"),
    Column("tie_embeddings", "bool", "", "whether the head shares the token embedding"),
    Column("sub_mlps", "int64", "", "narrow residual MLPs after attention, in an hourglass"),
    Column("branches", "int64", "modules", "parallel modules a stage"),
    Column("execution", "string", "", "how parallel modules run, as the suite says"),
    Column("execution_used", "string", "", "how they ran: loop or fused"),
    Column("base", "string", "", "whose stem and head surround an imported block"),
    Column("hidden_sizes", "list<int64>", "features", "d_h of each module, where they differ"),
    Column("skip", "string", "", "residual, or none: plain stacks"),
    Column(
        "survival", "float64", "fraction", "stochastic depth: how often the last module is kept"
    ),
    Column("layer_scale", "string", "", "first value of the gains of updates, or none"),
    Column("norm_position", "string", "", "where norms stand: pre, post, peri or deep"),
    Column("norm_scale", "string", "", "what the norms of module l are multiplied by"),
    Column("depth_average", "bool", "", "whether averages over depth follow the stages"),
    Column("average_dilation", "int64", "", "depth averages read every so many states"),
    Column("average_period", "int64", "stages", "a depth average follows every so many stages"),
    Column("loops", "int64", "", "how often the modules are run"),
    Column("input_injection", "bool", "", "whether z_0 is added at each new loop"),
    Column("norm_sharing", "string", "", "whether norms of shared modules are each one's own"),
    Column("experts", "int64", "experts", "feed-forward layers that a router chooses from"),
    Column("active_experts", "int64", "experts", "experts that work for an example or token"),
    Column("balance", "float64", "", "weight of the loss that keeps experts equally busy"),
    Column("parallel_block", "bool", "", "attention and feed-forward side by side"),
    Column("token_expansion", "int64", "contexts", "hidden size of token mixing; 0: flat"),
    Column("attention_every", "int64", "modules", "every so many modules one has attention"),
    Column("parametrization", "string", "", "how weights and rates follow the shape"),
    Column("base_width", "int64", "features", "width at which a parametrization equals sp"),
    Column("base_depth", "int64", "modules", "depth at which a parametrization equals sp"),
    Column("base_hidden", "int64", "features", "hidden size of a module at base_width"),
    Column("base_heads", "int64", "heads", "attention heads of a module at base_width"),
    Column("base_head_size", "int64", "features", "features of an attention head at base_width"),
    Column("init", "string", "", "first weights: default, critical or deepscale"),
    Column("dataset", "string", "", "name of the data set"),
    Column("dataset_file", "string", "", "file name of a user's own data"),
    Column("task", "string", "", "what is learned"),
    Column("noise", "float64", "", "standard deviation of the noise, where the task is denoise"),
    Column("input_shape", "list<int64>", "", "shape of one example, (C, H, W)"),
    Column("output_shape", "list<int64>", "", "shape of one output, (K,)"),
    Column("train_examples", "int64", "examples", "examples that training saw; stories of text"),
    Column("validation_examples", "int64", "examples", "examples held out for validation"),
    Column("test_examples", "int64", "examples", "examples of the test set"),
    Column("allow_partial", "bool", "", "whether an incomplete copy was accepted"),
    Column("num_classes", "int64", "classes", "number of classes set for an npz set"),
    Column("vocabulary", "string", "tokens", "vocabulary of a text set"),
    Column("context", "int64", "tokens", "tokens of a text example"),
    Column("document_mask", "bool", "", "whether attention stays within a story; null: no text"),
    Column("train_tokens", "int64", "tokens", "tokens that training predicts in an epoch (text)"),
    Column("duplicate_stories", "int64", "", "stories left out as copies of an earlier split's"),
    Column("data_digest", "string", "", "sha256 of the examples and labels as they were read"),
    Column("data_is_official", "bool", "", "whether the files have their official checksums"),
    Column("data_is_complete", "bool", "", "whether the set has all its official examples"),
    Column("optimizer", "string", "", "the optimizer"),
    Column("lr", "float64", "", "peak learning rate"),
    Column("weight_decay", "float64", "", "weight decay"),
    Column("momentum", "float64", "", "momentum of sgd"),
    Column("nesterov", "bool", "", "Nesterov's form of sgd's momentum"),
    Column("betas", "list<float64>", "", "decay of adam's moments"),
    Column("eps", "float64", "", "adam's epsilon"),
    Column("batch_size", "int64", "examples", "examples a step"),
    Column("steps", "int64", "steps", "duration, where given in steps"),
    Column("epochs", "float64", "epochs", "duration, where given in epochs"),
    Column("examples", "int64", "examples", "duration, where given in examples"),
    Column("tokens", "int64", "tokens", "duration, where given in tokens"),
    Column("seconds", "float64", "seconds", "duration, where given in seconds"),
    Column("schedule", "string", "", "learning rate over time"),
    Column("warmup_steps", "int64", "steps", "steps of linear warm-up"),
    Column(
        "milestones", "list<float64>", "", "when the step schedule decays, in units of the duration"
    ),
    Column("gamma", "float64", "", "factor of the step schedule"),
    Column("clip_norm", "float64", "", "largest norm of all gradients together"),
    Column("label_smoothing", "float64", "", "probability spread over all classes in training"),
    Column("augment", "string", "", "what is done to training images: none, flip or flip_crop"),
    Column("precision", "string", "", "arithmetic of training"),
    Column("checkpoint", "string", "", "weights at the end: of the last step, or the best"),
    Column("evaluations", "int64", "", "validations during training; null: one an epoch"),
    Column("seed", "int64", "", "seed of initialisation and data order"),
    Column("total_params", "int64", "weights", "weights of the network"),
    Column("trainable_params", "int64", "weights", "weights that training changes"),
    Column(
        "active_params",
        "int64",
        "weights",
        "weights that work for one example or token: all but those of experts not chosen",
    ),
    Column("body_params", "int64", "weights", "weights without embedding, stem and head"),
    Column("total_heads", "int64", "heads", "attention heads of all modules"),
    Column(
        "forward_flops",
        "int64",
        "FLOPs",
        "forward pass of one example; a multiply-add is 2; only matrix products and convolutions; "
        "attention over all pairs of positions, causal not halved; counted from shapes, the same "
        "on every device",
    ),
    Column("budget_match", "string", "", "what the first budget holds equal"),
    Column("budget_target", "float64", "", "the first budget's target"),
    Column("budget_error_fraction", "float64", "fraction", "(size - target) / target, signed"),
    Column("budgets", "list<budget>", "", "every budget this trial stands under"),
    Column("is_selected", "bool", "", "whether this is the variant's best learning rate"),
    Column("steps_taken", "int64", "steps", "optimizer steps taken"),
    Column(
        "examples_seen",
        "int64",
        "examples",
        "training examples seen, repeats counted; windows of context tokens of text",
    ),
    Column("cohort_id", "string", "", "the cohort the trial trained in; null of one alone"),
    Column("cohort_size", "int64", "trials", "trials that trained together as one network"),
    Column(
        "train_seconds",
        "float64",
        "seconds",
        "wall time of training, validation left out; of a cohort an equal share, up to its end",
    ),
    Column(
        "trial_seconds",
        "float64",
        "seconds",
        "wall time of the whole trial; of a cohort each trial has an equal share",
    ),
    *_metric_columns(),
    Column("device", "string", "", "device the trial ran on"),
    Column("num_threads", "int64", "threads", "CPU threads PyTorch used"),
    Column("started_at", "string", "", "when the trial began, ISO 8601, UTC"),
    Column("plan_index", "int64", "", "the trial's place in the suite's plan, from 0"),
)

CURVE_COLUMNS: tuple[Column, ...] = (
    Column("trial_id", "string", "", "the trial"),
    Column("step", "int64", "steps", "optimizer steps taken"),
    Column("epoch", "float64", "epochs", "passes over the training set"),
    Column("split", "string", "", "train (mean since the last point) or val"),
    Column("metric", "string", "", "loss, accuracy, ..."),
    Column("value", "float64", "", "its value"),
)

TIMING_COLUMNS: tuple[Column, ...] = (
    Column("cell_id", "string", "", "hash of the cell's settings"),
    Column("variant_id", "string", "", "the variant"),
    Column("trial_id", "string", "", "the variant's first trial"),
    Column("suite", "string", "", "name of the suite"),
    Column("run", "string", "", "name of the run"),
    Column("family", "string", "", "how the modules are laid out"),
    Column("backbone", "string", "", "kind of residual module, stem and head"),
    Column("depth", "int64", "modules", "residual modules, L"),
    Column("width", "int64", "features", "size of the residual stream, d"),
    Column("execution_used", "string", "", "how parallel modules ran: loop or fused"),
    Column("dataset", "string", "", "name of the data set, which sets the shapes"),
    Column("task", "string", "", "what is learned"),
    Column("optimizer", "string", "", "the optimizer, part of a train_step"),
    Column("phase", "string", "", "what is timed"),
    Column("batch_size", "int64", "examples", "examples a call"),
    Column("precision", "string", "", "arithmetic"),
    Column("mode", "string", "", "how PyTorch ran the network"),
    Column("num_threads", "int64", "threads", "CPU threads PyTorch used"),
    Column("cache", "string", "", "state of the L2 cache"),
    Column("device", "string", "", "device"),
    Column("status", "string", "", "ok, unsupported, oom, failed or timeout"),
    Column("error", "string", "", "why the status is not ok"),
    Column("median_seconds", "float64", "seconds", "median device time of one call"),
    Column("mean_seconds", "float64", "seconds", "mean device time of one call"),
    Column("ci_low_seconds", "float64", "seconds", "lower end of the median's 95% interval"),
    Column("ci_high_seconds", "float64", "seconds", "upper end of the median's 95% interval"),
    Column("p1_seconds", "float64", "seconds", "1st percentile"),
    Column("p5_seconds", "float64", "seconds", "5th percentile"),
    Column("p25_seconds", "float64", "seconds", "25th percentile"),
    Column("p75_seconds", "float64", "seconds", "75th percentile"),
    Column("p95_seconds", "float64", "seconds", "95th percentile"),
    Column("p99_seconds", "float64", "seconds", "99th percentile"),
    Column("mad_seconds", "float64", "seconds", "median absolute deviation from the median"),
    Column(
        "wall_median_seconds",
        "float64",
        "seconds",
        "median wall time of one call, waiting for the device included; on a CPU the device's own",
    ),
    Column("examples_per_second", "float64", "1/s", "batch size over the median"),
    Column("tokens_per_second", "float64", "1/s", "tokens of a call over the median; text only"),
    Column("samples_seconds", "list<float64>", "seconds", "every sample, in order; none dropped"),
    Column(
        "wall_samples_seconds", "list<float64>", "seconds", "wall times of the samples; GPUs only"
    ),
    Column("samples_round", "list<int64>", "", "the round of each sample, from 0"),
    Column("samples_process", "list<int64>", "", "the process of each sample, from 0"),
    Column("num_samples", "int64", "samples", "number of samples"),
    Column("num_processes", "int64", "processes", "fresh processes that the samples come from"),
    Column("calls_per_sample", "int64", "calls", "calls in a sample; a sample is their mean"),
    Column("num_warmup_calls", "int64", "calls", "calls before the first sample, all processes"),
    Column("first_call_seconds", "float64", "seconds", "wall time of the very first call"),
    Column(
        "compile_seconds",
        "float64",
        "seconds",
        "first call beyond a later one; compiled modes only",
    ),
    Column(
        "break_even_calls",
        "float64",
        "calls",
        "calls after which compiling has paid, against the same cell in mode eager; null: never",
    ),
    Column("stop_reason", "string", "", "precision, stable or time_budget"),
    Column("flags", "list<string>", "", "what makes the samples doubtful"),
    Column(
        "ratio_to_reference",
        "float64",
        "",
        "median over rounds of the sample over the reference variant's of the same round",
    ),
    Column("ratio_ci_low", "float64", "", "lower end of that median's 95% interval"),
    Column("ratio_ci_high", "float64", "", "upper end of that median's 95% interval"),
    Column("reference_cell_id", "string", "", "the reference variant's cell, same in all else"),
    Column(
        "canary_median_seconds", "float64", "seconds", "median of the fixed work timed each round"
    ),
    Column(
        "canary_spread_fraction",
        "float64",
        "fraction",
        "90% range of the canary over its median: how much the machine itself moved",
    ),
    Column("noise_floor_fraction", "float64", "fraction", "calibrated: what A/A runs differ by"),
    Column("peak_memory_bytes", "int64", "bytes", "largest memory allocated on a GPU in one call"),
    Column(
        "reserved_memory_bytes", "int64", "bytes", "largest memory reserved on a GPU, same pass"
    ),
    Column(
        "saved_activation_bytes",
        "int64",
        "bytes",
        "what autograd keeps between forward and backward",
    ),
    Column("resident_growth_bytes", "int64", "bytes", "growth of the process's peak memory; CPU"),
    Column("call_flops", "int64", "FLOPs", "FLOPs of one call, counted from shapes"),
    Column("achieved_flops_per_second", "float64", "FLOPs/s", "call_flops over the median"),
    Column(
        "peak_flops_per_second",
        "float64",
        "FLOPs/s",
        "the device's peak at this precision, known or measured; null: unknown",
    ),
    Column("flops_utilization_fraction", "float64", "fraction", "achieved over peak"),
    Column("energy_joules", "float64", "joules", "energy of one call, in a pass of its own"),
    Column(
        "energy_window_seconds",
        "float64",
        "seconds",
        "length of the pass that energy_joules is from",
    ),
    Column("sm_clock_hertz", "float64", "Hz", "median clock of the GPU while sampling"),
    Column("temperature_celsius", "float64", "degrees C", "highest temperature of the GPU"),
    Column("started_at", "string", "", "when the timing of the run's cells began, ISO 8601, UTC"),
    Column("plan_index", "int64", "", "the cell's place in the suite's plan, from 0"),
)

PROBE_COLUMNS: tuple[Column, ...] = (
    Column("trial_id", "string", "", "the trial"),
    Column("probe", "string", "", "the measurement inside the trained network"),
    Column("layer", "int64", "modules", "which module, from 0"),
    Column("metric", "string", "", "what was measured"),
    Column("value", "float64", "", "its value"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "trials": TRIAL_COLUMNS,
    "curves": CURVE_COLUMNS,
    "timings": TIMING_COLUMNS,
    "probes": PROBE_COLUMNS,
}


def column_names(table: str) -> tuple[str, ...]:
    """Return the names of a table's columns, in order."""
    return tuple(column.name for column in TABLES[table])


def is_lower_better(metric: str) -> bool:
    """Say whether a smaller value of this column is the better one."""
    for name, direction in METRICS.items():
        if metric.endswith(f"_{name}"):
            return direction == "lower"
    return not metric.endswith("per_second")
