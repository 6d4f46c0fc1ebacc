"""The samplers and schedulers that ComfyUI 0.7 offers. Their number matters: errors do not spell out long lists."""

_WITH_CFG_PP = (
    "euler",
    "euler_ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_2m",
    "res_multistep",
    "res_multistep_ancestral",
    "gradient_estimation",
)
_WITH_GPU_NOISE = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde")

SAMPLERS = (
    *(name + variant for name in _WITH_CFG_PP for variant in ("", "_cfg_pp")),
    *(name + variant for name in _WITH_GPU_NOISE for variant in ("", "_gpu")),
    *("heun", "heunpp2", "exp_heun_2_x0", "exp_heun_2_x0_sde"),
    *("dpm_2", "dpm_2_ancestral", "dpm_fast", "dpm_adaptive"),
    *("lms", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "er_sde", "ddim"),
    *("seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "uni_pc", "uni_pc_bh2"),
)
SCHEDULERS = (
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
)
