# The CMake package skep_belief: `cmake --install BUILD --component belief`. Headers keep their paths below
# include/skep, so that "mind/belief/population.h" reads the same inside and outside.
include(CMakePackageConfigHelpers)
set(skep_belief_headers
  base/random.h base/result.h base/units.h
  kernel/belief_kernels.h kernel/thread_pool.h
  mind/belief/agent.h mind/belief/collective_state.h mind/belief/compact_beliefs.h
  mind/belief/compact_population.h mind/belief/edge_population.h
  mind/belief/golden.h mind/belief/model.h mind/belief/population.h mind/belief/sparse_population.h
  mind/belief/tensor.h)
foreach(header ${skep_belief_headers})
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${CMAKE_SOURCE_DIR}/src/${header} DESTINATION include/skep/${folder} COMPONENT belief)
endforeach()
install(TARGETS skep_belief skep_kernel skep_base ARCHIVE DESTINATION lib/skep COMPONENT belief)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/skep_beliefConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/skep_beliefConfig.cmake INSTALL_DESTINATION lib/cmake/skep_belief)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/skep_beliefConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/skep_beliefConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/skep_beliefConfigVersion.cmake
        DESTINATION lib/cmake/skep_belief COMPONENT belief)
