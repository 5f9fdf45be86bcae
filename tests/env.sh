# Environment of all tests: sourced by tests/run.sh and the shell tests, read by CMake for the others (lines of the form
# `export NAME=VALUE` with plain values).

# Open MPI as root, on few cores, without noise in containers
export OMPI_ALLOW_RUN_AS_ROOT=1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_pml=ob1
export OMPI_MCA_btl=self,vader,tcp

# A GPU of this machine is not used: what tests expect of groups, times and names is engine cpu's. tests/gpu/run.sh is for GPUs
export CUDA_VISIBLE_DEVICES=

# Threads that wait do not take the core from those that work
export OMP_WAIT_POLICY=passive

# Sanitizers: a finding ends the program with a code that no test expects. What Open MPI leaks and how it locks is not ours
# to judge: leaks are looked for in the unit tests and in shell tests of one process (harness.sh)
export ASAN_OPTIONS=exitcode=86:detect_leaks=0
export UBSAN_OPTIONS=print_stacktrace=1:exitcode=86
export TSAN_OPTIONS=exitcode=86:ignore_noninstrumented_modules=1:detect_deadlocks=0
